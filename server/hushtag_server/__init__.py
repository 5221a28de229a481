"""The Hushtag server: ciphertext in, ciphertext out."""
