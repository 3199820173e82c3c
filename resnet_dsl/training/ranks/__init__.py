"""A run on several devices: ranks, replication, sharding."""
