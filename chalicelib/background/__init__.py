"""The functions beside the API's: stream, importer, worker and sweep."""
