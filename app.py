"""The Chalice app: every route, and the middleware around them."""

import gc

gc.disable()  # What an import makes stays: to look for garbage in it takes time alone.

import os

from chalicelib import late_imports

late_imports.spare()

from chalicelib import settings
from chalicelib.api.app import App, install
from chalicelib.api.console import console
from chalicelib.api.data import data
from chalicelib.api.discovery import discovery
from chalicelib.api.docs import docs
from chalicelib.api.extension import extension
from chalicelib.api.images import images
from chalicelib.api.incoming import incoming
from chalicelib.api.members import members
from chalicelib.api.outgoing import outgoing
from chalicelib.api.profiles import profiles
from chalicelib.api.uploads import uploads
from chalicelib.background.functions import functions
from chalicelib.identity.methods import choose_identity

app = App(app_name="cloud-images")
app.register_blueprint(discovery)
app.register_blueprint(docs)
app.register_blueprint(images)
app.register_blueprint(members)
app.register_blueprint(data)
app.register_blueprint(uploads)
app.register_blueprint(console)
app.register_blueprint(extension)
app.register_blueprint(incoming)
app.register_blueprint(outgoing)
app.register_blueprint(profiles)
app.register_blueprint(functions)
install(app, choose_identity(settings.current.auth, os.environ))
gc.freeze()
gc.enable()
