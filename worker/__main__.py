"""python -m worker. Kept empty of imports: every training child reads this file again when it starts."""

if __name__ == "__main__":
    import gc

    gc.disable()  # what is imported stays: nothing of it is worth a walk, now or later
    from worker.main import main

    gc.freeze()
    gc.enable()
    main()
