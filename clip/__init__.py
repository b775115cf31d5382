"""Chinese–English CLIP on fundus photographs: train, evaluate, predict, embed, export."""
