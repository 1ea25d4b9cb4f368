"""Cloud Images: share images between projects."""
