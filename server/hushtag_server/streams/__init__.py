"""Large objects: streams of segments, in the database or in object stores."""
