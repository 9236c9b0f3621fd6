"""The texts of messages: titles, lines, numbers, times and charts, in the reader's language."""
