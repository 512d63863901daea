"""What models learn from, in rooms: pictures, captions, texts, and what is drawn here."""
