"""`python -m compiler.show`."""

from compiler.commands.show import main

if __name__ == "__main__":
    main()
