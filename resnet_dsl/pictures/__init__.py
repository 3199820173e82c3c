"""Pictures and pages of networks, costs and runs. Nothing here needs torch."""
