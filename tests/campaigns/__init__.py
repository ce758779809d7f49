"""Campaigns: damaged and hostile files, kills, full disks, by the hundred. ``make campaign`` runs all of them."""
