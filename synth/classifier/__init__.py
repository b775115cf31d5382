"""A small classifier of photographs: it judges generators and checks labels."""
