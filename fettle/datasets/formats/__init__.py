"""Dataset rows: reading, validation with line numbers, rendering to tokens."""
