"""Services written with other stacks, to be measured against on the same database."""
