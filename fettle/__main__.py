from fettle.cli import main

main()
