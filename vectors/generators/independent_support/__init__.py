"""What the generators of independent vectors share: the shape of a document, and readers of public files."""
