"""What is measured out of the box. Importing one collector imports no other."""
