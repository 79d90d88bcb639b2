"""Score templates with CLIP-like models: open_clip's, in this process or on a cluster."""
