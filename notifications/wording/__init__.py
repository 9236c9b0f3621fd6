"""What a message says: title, lines, numbers, times and the picture, in the reader's language."""
