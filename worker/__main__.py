"""python -m worker. Kept empty of imports: every training child reads this file again when it starts."""

if __name__ == "__main__":
    from worker.main import main

    main()
