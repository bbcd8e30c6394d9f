"""What a plan loses with a machine, a switch or a rack, and how it goes on: read off its layout, without compiling it again."""
