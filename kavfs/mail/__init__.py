"""Mail: messages are taken from one hop, judged, and given to the next; none is ever lost."""
