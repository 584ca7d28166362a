"""What is trained, on what loss, and what is measured meanwhile: one module per stage."""
