"""The part of a study that computes: starts, preparation and the runs themselves."""
