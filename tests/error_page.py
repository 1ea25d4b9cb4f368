"""The page of an error that is not JSON, spelt once more than in the service."""

ERROR_TYPE = "text/html; charset=UTF-8"
ERROR_PAGE = """<html>
 <head>
  <title>{code}</title>
 </head>
 <body>
  <h1>{code}</h1>
  {message}
 </body>
</html>
"""
