//! Load a trained model folder and turn noise, a prompt or a label into text.
