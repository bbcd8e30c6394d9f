"""What a plan says to people: sections of typed blocks, a module each topic, laid out as Markdown and on the console."""
