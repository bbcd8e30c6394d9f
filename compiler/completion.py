"""`python -m compiler.completion bash|zsh|fish`: what a shell completes `rankplan` with."""

from compiler.commands.completion import main

if __name__ == "__main__":
    main()
