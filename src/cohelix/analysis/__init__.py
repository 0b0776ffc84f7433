"""Methods of analysis: what each node computes alone, and how the sums over nodes become the answer."""
