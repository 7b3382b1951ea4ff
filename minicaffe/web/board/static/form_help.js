// Help of the fields of forms in the language of the reader. The texts are those of the commands.

import { t } from "./text.js";

/** Return the help of known fields by command and name. */
export function helpTexts() {
  return {
    "new directory": t("folder to create"),
    "new gray": t("make images grey (default: if all of them are)"),
    "new images": t("folder of class folders, or table (.csv); for other tasks a folder with images and labels or Annotations"),
    "new net": t("small, a net of models/, or a prototxt (default: small)"),
    "new seed": t("of the random split (default: 1)"),
    "new size": t("rows and columns of the net's input (default: 64 or that of --net, else 128)"),
    "new split": t("ratio of training to validation images (default: 80/20)"),
    "new task": t("whether images get a class, objects are found, or pixels get a class (default: classify)"),
    "new weights": t("trained weights of --net to start from, or a run: RUN/best"),
    "train backend": t("onednn: fast on a CPU; reference: NumPy; cuda: a GPU; auto: the fastest on this CPU (default: auto)"),
    "train base_lr": t("learning rate at the beginning, as --set base_lr=RATE"),
    "train batch_size": t("batch size of the data layers of the training net, for each process; N:total for all processes together, total to divide that of the prototxt"),
    "train gpu": t("number of the GPU to use (default: compute on the CPU); all, or several as in 0,1: train in one process for each"),
    "train keep_best": t("keep the weights of the test with the best value of an output, as accuracy or loss"),
    "train keep_last": t("remove the snapshots of this training but for the last N"),
    "train level": t("level for include rules of layers (default: 0 or the solver's)"),
    "train max_iter": t("number of iterations, as --set max_iter=N"),
    "train no_graph": t("on a GPU, launch each kernel instead of capturing iterations as CUDA graphs"),
    "train optimize_memory": t("less memory, same numbers: blobs share it, cheap layers run forward again in backward"),
    "train patience": t("stop after N tests without a better score"),
    "train precision": t("type of the factors of convolutions and inner products: fp32 (default on a CPU), tf32 (default on a GPU), bf16, or on a GPU fp16; parameters stay float32"),
    "train seed": t("start of all random numbers, as --set random_seed=N"),
    "train settings": t("set a field of the solver, as base_lr=0.001, or of its nets, as net.layer[conv1].convolution_param.num_output=32; may be repeated"),
    "train solver_file": t("solver prototxt, or --solver=FILE"),
    "train stage": t("stages for include rules, separated by commas"),
    "train strict_backend": t("refuse a net with an op that only the reference backend can compute"),
    "train tensorboard": t("write the metrics as an event file of TensorBoard, too"),
    "train threads": t("number of threads of every call (default: the physical cores, divided by the processes on them; one for calls of little work)"),
    "train weights": t("trained weights to fine-tune from, copied by layer name, separated by commas; or a run: RUN/best"),
  };
}
