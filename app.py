"""
The Chalice app: every route, and the middleware around them.
"""

import os

from chalicelib import settings
from chalicelib.background.functions import functions
from chalicelib.data import data
from chalicelib.direct import direct
from chalicelib.documents import documents
from chalicelib.identity.methods import choose_identity
from chalicelib.images import images
from chalicelib.members import members
from chalicelib.web import App, install

app = App(app_name="cloud-images")
app.register_blueprint(documents)
app.register_blueprint(images)
app.register_blueprint(members)
app.register_blueprint(data)
app.register_blueprint(direct)
app.register_blueprint(functions)
install(app, choose_identity(settings.current.auth, os.environ))
