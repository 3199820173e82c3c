"""The op table and what its cells are made of. Below the language, which takes the names and arguments of its steps from here."""
