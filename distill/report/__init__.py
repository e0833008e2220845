"""A page to look at and listen to the files of a folder: what tells them apart, their pictures, their sound."""
