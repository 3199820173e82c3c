"""What a run leaves behind: its folder, its log, its results. Nothing here needs torch."""
