"""Records: vocabulary, images, captions, shards."""
