"""What any workflow on Ray needs: steps, a cluster, places, a lease, progress."""
