"""Where and how a step is computed: devices, precision, layout, and the trials that choose."""
