"""Members of an ensemble next to the network: trees and an autoencoder."""
