"""Experiments: probes look inside one network, studies compare several."""
