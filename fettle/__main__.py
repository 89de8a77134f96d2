from fettle.cli.main import main

main()
