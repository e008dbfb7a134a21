"""What people see: tables, pictures, JSON."""
