"""CLIP-like models as the black box: open_clip's, run here or on a cluster."""
