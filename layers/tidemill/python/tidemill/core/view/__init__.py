"""Views: runs, steps and values in the API's form."""
