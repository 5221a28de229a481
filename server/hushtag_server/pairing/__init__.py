"""The mailbox of pairings: what two devices of an account say to each other when one gives its secret away."""
