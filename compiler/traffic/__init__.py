"""Where traffic goes: bytes between ranks and over every link, by the algorithms that the cost model times."""
