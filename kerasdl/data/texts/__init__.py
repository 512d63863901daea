"""Lines, labelled texts, tokens and word vectors."""
