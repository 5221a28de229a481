DROP TABLE seal_copies;
