"""Repaints a picture in the manner of others, or trains a network that does.

    python -m kerasdl.trainers.style_transfer --workdir=runs/style
    python -m kerasdl.trainers.style_transfer --workdir=runs/mine \
        --config.content=town.jpg --config.styles=waves.jpg --config.image_size=512

With no picture named it draws its own and needs no network.
"""

from absl import flags

from kerasdl.style.options import METHODS, OUTPUT_FORMATS
from kerasdl.training import command
from kerasdl.training.config import check_choice, check_positive, define_flags

define_flags("configs/style/default.py")


def main() -> None:
    """Runs the command."""
    config = flags.FLAGS.config
    check_choice("method", config.method, METHODS)
    check_choice("format", config.format, OUTPUT_FORMATS)
    check_positive(config, "every")

    from kerasdl.training.devices import prepare_devices
    from kerasdl.training.style import style_options
    from kerasdl.training.workdir import Workdir

    style_options(config)
    prepare_devices()
    workdir = Workdir(flags.FLAGS.workdir, "style", config.to_dict())
    (_run_picture if config.method == "picture" else _run_network)(workdir, config)


def _run_picture(workdir, config) -> None:
    from kerasdl.reports.style import report_style, style_metrics
    from kerasdl.training import style
    from kerasdl.training.progress import say
    from kerasdl.training.workdir import write_json

    run = style.PictureRun(workdir, config)
    result = run.run()
    metrics = style_metrics(
        run.log.rows[-1],
        seconds=round(result.state.seconds, 1),
        seed=config.seed,
        parameters=result.image.size,
    )
    write_json(workdir / "metrics.json", metrics)
    report = report_style(
        workdir,
        run.log,
        metrics,
        style.as_array(style.content_picture(config)),
        [style.as_array(picture) for picture in style.style_pictures(config)],
        result.image,
    )
    _print(metrics)
    say(f"result: {workdir / style.result_name(config)}")
    say(f"report: {report}")


def _run_network(workdir, config) -> None:
    from kerasdl.reports.style_network import report_style_network
    from kerasdl.training.progress import say
    from kerasdl.training.style_network import NetworkRun
    from kerasdl.training.workdir import write_json

    run = NetworkRun(workdir, config)
    metrics = run.run()
    write_json(workdir / "metrics.json", metrics)
    report = report_style_network(workdir, run, metrics)
    _print(metrics)
    say(f"report: {report}")


def _print(metrics) -> None:
    for name, value in metrics.items():
        print(
            f"{name:28} {value:.6g}" if isinstance(value, float) else f"{name:28} {value}"
        )


if __name__ == "__main__":
    command.run(main)
