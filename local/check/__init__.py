"""`tidemill versions check`: the journals of runs replayed against new code, in processes that can do no harm."""
