"""One set-up for everything that transformers' trainer trains: the text encoder, the cross-encoder, the bundled Llama, the adapter."""
