"""Values: problems, mask bits, settings and figures. No modules, no disk, no devices."""
