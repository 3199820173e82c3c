"""Pages for a browser: one file that holds all it needs, put together from sections."""
