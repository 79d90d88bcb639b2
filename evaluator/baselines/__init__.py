"""What a found template is compared with: hand-made templates, and methods that see inside the model."""
