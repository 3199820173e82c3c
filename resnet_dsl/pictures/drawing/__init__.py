"""Pictures of networks, in three steps: a tree of what to show, a layout, and a writer for each format."""
